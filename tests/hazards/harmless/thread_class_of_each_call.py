# tasks: a=work, b=work
import threading


def work(rows):
    done = []

    class Job(threading.Thread):
        made = 0

        def __init__(self, row):
            super().__init__()
            self.row = row
            Job.made += 1

        def run(self):
            self.row += 1
            done.append(self.row)

    jobs = [Job(row) for row in rows]
    for job in jobs:
        job.start()
        job.row = None
    return done
