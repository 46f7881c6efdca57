"""The live page: a store in a browser, followed as runs are trained.

`app.py` has the addresses, `guard.py` who may ask, `events.py` how a browser hears of changes, and a module each what a
page shows. The browser's part is in `static/`, beside the components of `report/page/`, which the report has too.
"""
