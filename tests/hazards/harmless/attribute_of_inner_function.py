# tasks: a=work, b=work
def work(rows):
    def visit(row, seen=[]):
        visit.count += 1
        if row not in seen:
            seen.append(row)
        return row

    visit.count = 0
    done = lambda row: row
    done.tries = 0
    for row in rows:
        visit(row)
        done.tries += 1
        done(row)
    return visit.count + done.tries
