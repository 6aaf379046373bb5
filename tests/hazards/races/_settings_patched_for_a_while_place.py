HOST = "localhost"
