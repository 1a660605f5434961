"""django-modeltranslation: which fields there are in every language."""

from modeltranslation.translator import TranslationOptions, register

from .models import Localized


@register(Localized)
class LocalizedOptions(TranslationOptions):
    """A title in each."""

    fields = ("title",)
