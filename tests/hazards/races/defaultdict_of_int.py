# tasks: a=votes_of_a, b=votes_of_b
from collections import defaultdict

VOTES = defaultdict(int)


def votes_of_a(ballots):
    for ballot in ballots:
        VOTES[ballot] += 1  # here


def votes_of_b(ballots):
    for ballot in ballots:
        VOTES[ballot] += 2  # here
