# tasks: a=work, b=work
from dataclasses import dataclass, field


@dataclass
class Report:
    rows: int = 0
    names: list = field(default_factory=list)

    def add(self, name):
        self.rows += 1
        self.names.append(name)
        if len(self.names) > 10:
            self.names.clear()


def work(names):
    report = Report()
    for name in names:
        report.add(name)
    return report.rows
