import pytest

from lrbench.modifiers import EMA, PLP, PSWA, Lookahead
from lrbench.modifiers.brief import brief_variant


@pytest.mark.parametrize(
    ("variant", "brief"),
    [
        (str(PLP()), "PLP"),
        (str(PSWA()), "PSWA"),
        (str(PSWA(p=0.1)), "PSWA(p=0.1)"),
        (str(Lookahead(k=3, alpha=0.8)), "Lookahead(k=3, alpha=0.8)"),
        (f"{PLP()} + {EMA(decay=0.9)}", "PLP + EMA(decay=0.9)"),
        (f"plp_control + {PSWA()}", "plp_control + PSWA"),
        ("my own name (the 1st)", "my own name (the 1st)"),
        ("NoSuchMethod(p=0.1)", "NoSuchMethod(p=0.1)"),
    ],
)
def test_settings_that_have_their_defaults_go_without_saying(variant: str, brief: str) -> None:
    assert brief_variant(variant) == brief
