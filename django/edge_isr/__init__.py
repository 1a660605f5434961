"""edge-isr for Django: pages at static speed from the edge, fresh within a stated bound.

A view says that its pages may be kept (`@isr`), pages say which data they depend on (tags, by hand
or by themselves), and changed data is sent to the edge once its transaction has committed.
"""

from .batching import batch, silence
from .compose.personal import personal
from .compose.shared import shared
from .context import add_tags
from .decorators import isr
from .fragments import isr_fragment
from .registry import register, unregister
from .revalidation import (
    cancel_scheduled,
    invalidate_tag,
    invalidate_tags,
    revalidate_all,
    revalidate_by_paths,
    revalidate_by_prefixes,
    revalidate_by_tags,
    revalidate_by_urls,
)
from .surrogates import (
    surrogate_from_model,
    surrogate_from_path,
    surrogate_from_query_params,
    surrogate_from_user,
    surrogate_from_view,
    versioned,
)
from .tags import TagError, tag

__version__ = "0.1.0"

__all__ = [
    "TagError",
    "add_tags",
    "batch",
    "cancel_scheduled",
    "invalidate_tag",
    "invalidate_tags",
    "isr",
    "isr_fragment",
    "personal",
    "register",
    "revalidate_all",
    "revalidate_by_paths",
    "revalidate_by_prefixes",
    "revalidate_by_tags",
    "revalidate_by_urls",
    "shared",
    "silence",
    "surrogate_from_model",
    "surrogate_from_path",
    "surrogate_from_query_params",
    "surrogate_from_user",
    "surrogate_from_view",
    "tag",
    "unregister",
    "versioned",
]
