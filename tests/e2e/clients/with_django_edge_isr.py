"""Refreshes a page with the package django-edge-isr: `with_django_edge_isr.py PROVIDER EDGE PAGES`.

Its graph of tags lives in Redis; a server of that protocol runs in this process.
"""

import json
import sys
import threading

from django.conf import settings
from fakeredis import TcpFakeServer

provider, edge, pages = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
redis = TcpFakeServer(("127.0.0.1", 0))
threading.Thread(target=redis.serve_forever, daemon=True).start()
CDN = {
    "none": {},
    "cloudfront": {"provider": "cloudfront", "distribution_id": "E2E"},
    "cloudflare": {"provider": "cloudflare", "zone_id": "zone", "api_token": "demo-admin"},
}
address = f"redis://127.0.0.1:{redis.server_address[1]}/0"
settings.configure(EDGE_ISR={"REDIS_URL": address, "CDN": CDN[provider]})

import edge_isr  # noqa: E402
from edge_isr.graph import bind  # noqa: E402

assert ".clients" in edge_isr.__file__ or "clients-" in edge_isr.__file__, edge_isr.__file__
before = set(threading.enumerate())
for url in pages.values():
    bind(url, ["post:1"])
assert edge_isr.revalidate_by_tags(["post:1"]) == sorted(pages.values())
# Each of its warm-ups is a daemon thread.
for thread in set(threading.enumerate()) - before:
    thread.join(1)
