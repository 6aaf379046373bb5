# tasks: a=work, b=work
def work(rows):
    seen = []

    class Tally:
        n = 0
        names = []

        def add(self, row):
            Tally.n += 1
            self.names.append(row)
            if row not in seen:
                seen.append(row)

    tally = Tally()
    for row in rows:
        tally.add(row)
        Tally.n += 1
        if row not in Tally.names:
            Tally.names.append(row)
    return Tally.n
