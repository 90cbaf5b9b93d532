"""The edge: what happens to every request before and after its route, as pure ASGI.

app/main.py has the order. What costs least comes first, and `Authentication` before the body is
read: a stranger can't make us read 200 MB.
"""
