import pytest
import torch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the store or cache of the person who runs it; decoded data is shared by the tests."""
    monkeypatch.delenv("LRBENCH_STORE", raising=False)
    monkeypatch.setenv("LRBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "lrbench-cache"))
