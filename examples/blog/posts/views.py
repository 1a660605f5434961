"""The blog's pages. Each says with `@isr` and `add_tags` what it depends on."""

from django.contrib import messages
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.models import AnonymousUser
from django.contrib.staticfiles.views import serve
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import Http404, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from edge_isr import isr

from posts.forms import CommentForm, SubscriberForm
from posts.models import Category, Post, Subscriber

PER_PAGE = 6
MEBIBYTE = 1 << 20


def _page(request, posts):
    return Paginator(posts.select_related("category"), PER_PAGE).get_page(request.GET.get("page"))


def _visible(request, posts, slug):
    """The post of an address; a draft exists for staff only, and only there is who reads asked."""
    found = posts.published().filter(slug=slug).first()
    return found or get_object_or_404(posts.visible_to(request.user), slug=slug)


@require_safe
@isr(tags=["posts", "categories"], compose=True)
def home(request):
    """The newest posts, paginated. Who reads it makes no difference: drafts have a page of their
    own.
    """
    posts = Post.objects.published()
    return render(request, "posts/list.html", {"page": _page(request, posts)})


@require_safe
@isr(compose=True)
def category(request, slug):
    """The posts of one category, paginated."""
    found = get_object_or_404(Category, slug=slug)
    posts = found.posts.published()
    request.edge_isr.add_tags(f"category:{found.pk}")
    return render(request, "posts/list.html", {"page": _page(request, posts), "category": found})


@require_safe
@isr(tags=["posts", "categories"], compose=True)
def search(request):
    """The posts that contain the words of `?q=`."""
    query = request.GET.get("q", "").strip()
    posts = Post.objects.published()
    for word in query.split()[:8]:
        posts = posts.filter(Q(title__icontains=word) | Q(body__icontains=word))
    return render(
        request,
        "posts/list.html",
        {"page": _page(request, posts), "query": query, "is_search": True},
    )


@require_safe
@isr(compose=True)
def post(request, slug):
    """One post with its comments."""
    found = _visible(request, Post.objects.select_related("category"), slug)
    request.edge_isr.add_tags([f"post:{found.pk}", f"category-name:{found.category_id}"])
    return render(request, "posts/post.html", {"post": found, "comments": found.comments.all()})


@require_safe
@isr(statuses=[301])
def permalink(request, pk):
    """The address that survives a change of the slug."""
    found = get_object_or_404(Post.objects.visible_to(request.user), pk=pk)
    request.edge_isr.add_tags(f"post:{pk}")
    return redirect(found, permanent=True)


@require_http_methods(["GET", "HEAD", "POST"])
@isr(compose=True)
def comment(request, slug):
    """The form for a comment: its page is kept, and the edge makes each visitor's CSRF token."""
    found = _visible(request, Post.objects.all(), slug)
    request.edge_isr.add_tags(f"post:{found.pk}")
    form = CommentForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.instance.post = found
        form.save()
        messages.success(request, "Thank you, your comment is online.")
        return redirect(found)
    return render(request, "posts/comment.html", {"post": found, "form": form})


@require_POST
def subscribe(request):
    """The newsletter's form stands on every page; the edge makes its tokens."""
    form = SubscriberForm(request.POST)
    if form.is_valid():
        Subscriber.objects.get_or_create(email=form.cleaned_data["email"])
        messages.success(request, "Thank you, the next letter is yours.")
    else:
        messages.error(request, "That is no address of a mailbox.")
    return redirect("home")


@require_safe
@staff_member_required(login_url="login")
def drafts(request):
    """What staff still works on."""
    posts = Post.objects.filter(status=Post.Status.DRAFT)
    return render(request, "posts/list.html", {"page": _page(request, posts), "is_drafts": True})


@require_safe
@isr(tags=["posts"])
def feed_json(request):
    """The ten newest posts as a JSON feed."""
    items = [
        {
            "id": f"post-{post.pk}",
            "url": request.build_absolute_uri(post.get_absolute_url()),
            "title": post.title,
            "content_text": post.body,
            "date_published": post.published_at.isoformat(),
        }
        for post in Post.objects.visible_to(AnonymousUser())[:10]
    ]
    feed = {"version": "https://jsonfeed.org/version/1.1", "title": "Edge Notes", "items": items}
    return JsonResponse(feed, content_type="application/feed+json")


def edge_feed(feed):
    """Django's feed view, stored at the edge."""
    return require_safe(isr(tags="posts")(feed))


@require_safe
@isr
def download(request, mebibytes):
    """A large file, streamed: small ones are stored at the edge, those above its limit pass
    through.
    """
    if not 1 <= mebibytes <= 64:
        raise Http404("1 to 64 MiB")
    line = b"0123456789abcdef" * 4095 + b"the edge knows\n\n"
    blocks = (line for _ in range(mebibytes * MEBIBYTE // len(line)))
    response = StreamingHttpResponse(blocks, content_type="application/octet-stream")
    response["Content-Disposition"] = f'attachment; filename="sample-{mebibytes}.bin"'
    return response


@require_safe
def static_file(request, path):
    """The style sheets of the blog and the admin. A larger site leaves these to a file server."""
    response = serve(request, path, insecure=True)
    response["Cache-Control"] = "public, max-age=600"
    return response


@isr(tags=["posts"], statuses={404: 30}, swr=0, sie=0)
def not_found(request, exception):
    """A missing page is cheap to ask for, so the edge keeps the answer for a moment.

    It depends on the posts: publishing one at this address ends it.
    """
    return render(request, "404.html", status=404)
