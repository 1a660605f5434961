"""Purges pages with Cloudflare's SDK: `with_cloudflare.py EDGE PAGES`."""

import json
import sys

from cloudflare import Cloudflare

edge, pages = sys.argv[1], json.loads(sys.argv[2])
client = Cloudflare(api_token="demo-admin", base_url=f"{edge}/__isr/cloudflare/client/v4")
assert client.cache.purge(zone_id="zone", files=[pages["file"]]).id == "zone"
headers = {"CF-Device-Type": "mobile"}
client.cache.purge(zone_id="zone", files=[{"url": pages["file-of-a-device"], "headers": headers}])
client.cache.purge(zone_id="zone", tags=["tag-of-tag"])
client.cache.purge(
    zone_id="zone", prefixes=[pages["prefix"].partition("://")[2].removesuffix("page")]
)
