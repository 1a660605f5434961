"""Composed pages: one page for all visitors, with placeholders for what belongs to one of them.

The edge asks for a page's *shell* (`X-Edge-ISR-Compose`), rendered without any cookie. CSRF tokens,
CSP nonces and personal parts stand in it as placeholders, which the edge fills for each visitor.
Whoever else asks gets the same page with everything in it, by the same functions.

`edge` knows a request of the edge's, `composition` follows one render, `shell` decides whether what
came out can be a shell, `personal` has the parts and the view that the edge asks for them.
"""
