"""What the tests against other implementations share: certificates, made once for each process that runs tests."""

import pytest

from interop.certificates import Certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))
