def draw(cases):
    return ""
