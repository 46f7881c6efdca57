"""The gallery: every function and every policy of the catalogs with its curve."""

from __future__ import annotations

from html import escape

from lrbench.display.docstring import first_sentence
from lrbench.policy import CatalogEntry, Policy, catalog, catalogs, functions
from lrbench.policy.curve import policy_html
from lrbench.policy.explain import example_of
from lrbench.policy.function import Named

HEAD = """# Gallery of policies

Every function with what it is, where it comes from, and the policies of the catalogs that are made of it.

A formula that begins with `lr =` is the learning rate. Any other is a share g(t) of the range, and the rate is
`min(k0, k1) + |k0 - k1| * g(t)`. `lrbench show NAME` prints the same; how policies are written and combined is in
[policies](guide/policies.md).
"""


def page() -> str:
    """Write the gallery as Markdown."""
    entries = [(name, entry) for name in catalogs() for entry in catalog(name).values()]
    parts = [HEAD]
    for group in dict.fromkeys(function.group for function in functions().values()):
        parts.append(f"## {group.capitalize()}\n")
        for function in (one for one in functions().values() if one.group == group):
            named = [(name, entry) for name, entry in entries if _innermost(entry.policy) is function]
            parts.append(_function(function, named))
    return "\n".join(parts)


def _innermost(policy: Policy) -> type[Policy]:
    """Find the function that a policy begins with, below its warmup and the like."""
    while not isinstance(policy, Named):
        policy = policy.parts[0]
    return type(policy)


def _function(function: type[Named], named: list[tuple[str, CatalogEntry]]) -> str:
    name = function.__name__
    rows = [
        f"<tr><td><code>{one.name}</code></td><td>{escape(one.doc)}</td><td>{escape(one.allowed)}</td>"
        f"<td>{'' if one.required else f'<code>{escape(one.kind.text(one.default))}</code>'}</td></tr>"
        for one in function.parameters
    ]
    example = example_of(function)
    cards = [_card(f"{catalog_name}/{entry.name}", entry.policy, entry.source) for catalog_name, entry in named]
    if not cards and example is not None:
        cards = [_card("an example", example, "")]
    head = "<tr><th>parameter</th><th>what it means</th><th>must be</th><th>default</th></tr>"
    return f"""### {name}

{escape(first_sentence(function))} ({{py:class}}`lrbench.policy.{name}`)

<p class="formula"><code>{escape(function.formula)}</code></p>
<p class="source">Source: {escape(function.source)}</p>
<div class="policies">{"".join(cards)}</div>
<details><summary>Parameters</summary><table><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></details>
"""


def _card(name: str, policy: Policy, source: str) -> str:
    return f"<div><strong>{escape(name)}</strong>{policy_html(policy)}<small>{escape(source)}</small></div>"
