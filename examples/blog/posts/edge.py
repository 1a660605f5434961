"""What the blog notifies the edge cache of its data: which tags a change touches.

`post:ID` is the post's own page; `category:ID` the category's listing; `posts` every listing of
posts, the feed and the search; `category-name:ID` the posts in it, which say its name;
`categories` the navigation, which the edge keeps once for all pages, and listings with names.

A post that moves leaves its old category's listing, which is sent too: the tags of the row as it
was count as well.
"""

from edge_isr import register

from posts.models import Category, Comment, Post

register(Post, tags=lambda post: [f"post:{post.pk}", f"category:{post.category_id}", "posts"])
register(
    Category,
    tags=lambda category: [
        f"category:{category.pk}",
        f"category-name:{category.pk}",
        "categories",
    ],
)
register(Comment, tags=lambda comment: f"post:{comment.post_id}")
