"""x"""


def test_it(served, call):
    print(served.url, served.keys)
    print(call("GET", "/v1/models").text)
    print(call("GET", "/v1/openapi.json").text[:500])
