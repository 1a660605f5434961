"""Where in a page a personal part can stand."""

import pytest
from composing import fill, members, page_of, shell

from edge_isr.compose.problems import Problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("menu_part")]

INSIDE = {
    "an attribute": '<a title="{}">x</a>',
    "an attribute without quotes": "<a title={}>x</a>",
    "a tag": "<a {}>x</a>",
    "a script": "<script>{}</script>",
    "a style": "<style>{}</style>",
    "a title": "<title>{}</title>",
    "a textarea": "<textarea>{}</textarea>",
    "a comment": "<!-- {} -->",
    "a comment of a script": "<script><!--<script></script>{}--></script>",
    "a frame": "<iframe>{}</iframe>",
    "where scripts run": "<noscript>{}</noscript>",
    "a declaration": "<!doctype {}>",
    "what a quote opens": "<p title=\"<b>'{}'",
    "an end tag": "</p {}>",
}


@pytest.mark.parametrize("where", INSIDE)
def test_where_a_part_can_not_stand(site, where, ada):
    source = INSIDE[where].replace("{}", '{% personal "menu" %}out{% endpersonal %}')
    client = site(page_of("{% load edge_isr %}" + source))
    response = shell(client)
    assert response.wsgi_request.edge_isr.problem is Problem.NOT_IN_HTML
    # What is said of it is for visitors without a cookie: the page with the fallback.
    assert members(response) is None and response.content.decode() == INSIDE[where].format("out")


@pytest.mark.parametrize(
    "around",
    [
        "<p>{}", "</script>{}", "<!-- a -->{}<!-- b -->", "<script>'<p>'</script>{}",
        "a < b {} > c",
        '<a title=">">{}</a>', "<a title='<!--'>{}</a>", "<br/>{}", "<svg><path d=''/></svg>{}",
        "<!doctype html><title>x</title>{}", "<script><!-- </script>{}", "<!-->{}", "<table>{}",
        "<textarea><!--</textarea>{}", "{}", "é€{}", "<style>a>b</style>{}",
    ],
)  # fmt: skip
def test_where_a_part_can_stand(site, around):
    source = around.replace("{}", '{% personal "menu" %}out{% endpersonal %}')
    response = shell(site(page_of("{% load edge_isr %}" + source)))
    assert members(response)["placeholders"] == 2
    assert fill(response, parts={"menu": "IN"}) == around.replace("{}", "IN")
