"""Demo and tests: how often pages are rendered, and how slowly."""

import itertools
import os
import time

from django.conf import settings

_renders = itertools.count(1)


def count_renders(get_response):
    """Says in `X-Render` and in a file that this page was rendered, and when."""

    def middleware(request):
        response = get_response(request)
        if settings.BLOG_RENDER_SECONDS and request.edge_isr.policy is not None:
            time.sleep(settings.BLOG_RENDER_SECONDS)
        if settings.BLOG_RENDER_LOG:
            response["X-Render"] = f"{os.getpid()}-{next(_renders)}"
            warm = "warm" if "X-Edge-ISR-Warmup" in request.headers else "visit"
            line = f"{time.time():.3f} {warm} {request.method} {request.get_full_path()}\n"
            # One write in append mode: lines of several processes do not mix.
            with open(settings.BLOG_RENDER_LOG, "ab", buffering=0) as log:
                log.write(line.encode())
        return response

    return middleware
