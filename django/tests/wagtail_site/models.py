"""Pages with tags, a snippet that is drafted, settings of both kinds."""

from django.db import models
from modelcluster.contrib.taggit import ClusterTaggableManager
from modelcluster.fields import ParentalKey
from taggit.models import TaggedItemBase
from wagtail.blocks import CharBlock
from wagtail.contrib.settings.models import BaseGenericSetting, BaseSiteSetting, register_setting
from wagtail.fields import StreamField
from wagtail.models import DraftStateMixin, LockableMixin, Page, RevisionMixin, WorkflowMixin
from wagtail.snippets.models import register_snippet


class PageTag(TaggedItemBase):
    content_object = ParentalKey("Note", on_delete=models.CASCADE, related_name="tagged_items")


class Note(Page):
    text = models.CharField(max_length=80, blank=True)
    body = StreamField([("words", CharBlock())], blank=True)
    tags = ClusterTaggableManager(through=PageTag, blank=True)


@register_snippet
class Teaser(WorkflowMixin, DraftStateMixin, LockableMixin, RevisionMixin, models.Model):
    text = models.CharField(max_length=80)

    def __str__(self):
        return self.text


@register_setting
class Contact(BaseSiteSetting):
    phone = models.CharField(max_length=20)


@register_setting
class Brand(BaseGenericSetting):
    slogan = models.CharField(max_length=20)
