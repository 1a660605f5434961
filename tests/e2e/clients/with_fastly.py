"""Purges pages with Fastly's SDK: `with_fastly.py EDGE PAGES`."""

import json
import sys

import fastly
from fastly.api import purge_api

edge, pages = sys.argv[1], json.loads(sys.argv[2])
configuration = fastly.Configuration(host=f"{edge}/__isr/fastly")
configuration.api_token = "demo-admin"
with fastly.ApiClient(configuration) as client:
    api = purge_api.PurgeApi(client)
    assert api.purge_tag(service_id="service", surrogate_key="tag-of-key").status == "ok"
    seen = api.bulk_purge_tag(service_id="service", surrogate_key="tag-of-keys tag-of-nothing")
    assert set(seen.to_dict()) == {"tag-of-keys", "tag-of-nothing"}, seen
    api.purge_tag(service_id="service", surrogate_key="tag-of-soft", fastly_soft_purge=1)
    url = pages["url"].partition("://")[2]
    assert api.purge_single_url(cached_url=url).status == "ok"
