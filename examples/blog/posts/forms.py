"""The forms that visitors fill in."""

from django import forms

from posts.models import Comment


class CommentForm(forms.ModelForm):
    """A comment on a post."""

    class Meta:
        model = Comment
        fields = ["name", "text"]
        widgets = {"text": forms.Textarea(attrs={"rows": 5})}


class SubscriberForm(forms.Form):
    """Who wants the newsletter."""

    email = forms.EmailField()
