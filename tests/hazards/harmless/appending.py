# tasks: a=note, b=note
NOTES = []


def note(text):
    NOTES.append(text)
