"""A small site with Wagtail: what each change that an editor makes tells, by Wagtail's own code."""
