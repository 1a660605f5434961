"""Purges pages with django-ultracache's purgers: `with_ultracache.py EDGE PAGES`."""

import json
import sys
from urllib.parse import urlsplit

from django.conf import settings

edge, pages = sys.argv[1], json.loads(sys.argv[2])
settings.configure(ULTRACACHE={"purge": {"method": {"url": edge}}})

from ultracache import purgers  # noqa: E402

# It repeats some fields of the page's first visitor.
purgers.varnish(urlsplit(pages["varnish"]).path, {"cookie": "sessionid=1", "accept-language": "de"})
purgers.nginx(urlsplit(pages["nginx"]).path)
