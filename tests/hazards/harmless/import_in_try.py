# tasks: a=work, b=work
def work(k):
    try:
        import orjson as codec
    except ImportError:
        import json as codec
    try:
        import yaml
    except ImportError:
        yaml = None
    return codec.dumps(k), yaml
