"""Models and columns of the framework and of packages that no page shows."""

from __future__ import annotations

# Written by the framework, Wagtail and other packages for themselves; no page is made of them.
EXCLUDED = (
    "admin.logentry",
    "auditlog",
    "auth.permission",
    "authtoken",
    "axes",
    "background_task",
    "captcha",
    "contenttypes.contenttype",
    "defender",
    "django_apscheduler",
    "django_celery_beat",
    "django_celery_results",
    "django_dramatiq",
    "django_q",
    "django_tasks",
    "django_tasks_database",
    "easy_thumbnails",
    "easyaudit",
    "edge_isr",
    "knox",
    "migrations",
    "oauth2_provider",
    "otp_email",
    "otp_static",
    "otp_totp",
    "post_office",
    "procrastinate",
    "reversion",
    "sessions",
    "silk",
    "social_django",
    "thumbnail.kvstore",
    "token_blacklist",
    "usersessions",
    "wagtailadmin",
    "wagtailcore.comment",
    "wagtailcore.commentreply",
    "wagtailcore.modellogentry",
    "wagtailcore.pagelogentry",
    "wagtailcore.pagesubscription",
    "wagtailcore.referenceindex",
    "wagtailcore.revision",
    "wagtailcore.taskstate",
    "wagtailcore.uploadedfile",
    "wagtailcore.workflowstate",
    "wagtailembeds",
    "wagtailforms",
    "wagtailimages.rendition",
    "wagtailsearch",
    "wagtailsearchpromotions.query",
    "wagtailsearchpromotions.querydailyhits",
    "wagtailusers",
)
# The same of models that a project derives from theirs: module, or what it begins with, and class.
EXCLUDED_BASES = (
    ("django.contrib.sessions.", "AbstractBaseSession"),
    ("wagtail.", "AbstractFormSubmission"),
    ("wagtail.", "AbstractRendition"),
    ("wagtail.", "BaseLogEntry"),
)
# Columns that a package keeps for itself, in models derived from its own: module, or what it begins
# with, class, and fields. A change of these alone is on no page.
IGNORED_FIELDS = (
    ("django.contrib.auth.", "AbstractBaseUser", ("last_login",)),
    ("wagtail.", "AbstractPage", ("draft_title", "latest_revision_created_at")),
    ("wagtail.", "Page", ("draft_title", "latest_revision_created_at")),
    ("wagtail.", "RevisionMixin", ("latest_revision",)),
    ("wagtail.", "DraftStateMixin", ("has_unpublished_changes", "live_revision")),
    ("wagtail.", "LockableMixin", ("locked", "locked_at", "locked_by")),
)
# Columns that a package writes at each change and that few pages show. Who reads one from an
# instance is seen (`tracking`), and a change of it invalidates nothing else. A page that was
# published is said to be so each time; the row above one that comes or goes counts the rows below
# it.
TRACKED_FIELDS = (
    ("treebeard.", "MP_Node", ("numchild",)),
    ("wagtail.", "DraftStateMixin", ("last_published_at",)),
)
# Models derived from these are loaded for what few of their columns say: Wagtail loads a page as
# its own type for its address, and the home page for each address; an image for its renditions. Of
# all columns in their own tables by which no rows are found the reads are tracked.
TRACKED_TYPES = (
    ("wagtail.", "Page"),
    ("wagtail.", "AbstractImage"),
)
