"""A small site with Wagtail: what each change that an editor makes sends, by Wagtail's own code."""
