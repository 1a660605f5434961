"""What the plugin looks like."""

from cms.plugin_base import CMSPluginBase
from cms.plugin_pool import plugin_pool

from .models import TextPlugin


@plugin_pool.register_plugin
class Text(CMSPluginBase):
    """A text."""

    model = TextPlugin
    render_template = "text.html"
