"""Purges pages with the CDN backends of django-custom-cache-page's README, as they stand there."""

import json
import re
import sys
from importlib.metadata import metadata

pages = json.loads(sys.argv[2])
readme = metadata("django-custom-cache-page").get_payload()
names = {}
for heading in ("### Example: Fastly CDN Backend", "### Example: Cloudflare CDN Backend"):
    block = readme.split(heading)[1]
    exec(re.search(r"```python\n(.*?)```", block, re.DOTALL)[1], names)
assert set(pages) == {"fastly", "cloudflare"}
fastly = names["FastlyBackend"](api_token="demo-admin", service_id="service")
assert fastly.invalidate_by_surrogate("tag-of-fastly") == 1
cloudflare = names["CloudflareBackend"](api_token="demo-admin", zone_id="zone")
cloudflare.invalidate_by_surrogate("tag-of-cloudflare")
