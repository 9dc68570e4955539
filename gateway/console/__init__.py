"""The call-taker's HTTP API and page: who may act on which running call, and what was then done.

`app.make_app` puts it together; `server.serving` answers on a port.
"""
