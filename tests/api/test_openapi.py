"""The OpenAPI document is complete and correct, and no generated request breaks the server."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from backend.api.routes import ROUTERS
from backend.app import create_app
from backend.pipeline.music.engines import MusicEngines
from backend.settings import Settings
from tests.support.fake_engine import FakeEngine
from tests.support.fake_music import FakeMusicEngine
from tests.support.served import asked_here

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    app = create_app(Settings(device="cpu"), lambda settings: FakeEngine())
    app.state.music.engines = MusicEngines({"score": FakeMusicEngine})
    with asked_here(data_dir=str(tmp_path_factory.mktemp("data"))) as client:
        # The lifespan of the client's own application has no part in this one.
        for name in ("system_info", "host", "jobs"):
            setattr(app.state, name, getattr(client.app.state, name))
        yield app


QUICK = settings(
    max_examples=10, deadline=None, database=None, derandomize=True, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@st.composite
def drawn(draw, cases):
    """A request of `cases`. Of those that are wrong on purpose, some their own maker cannot look at."""
    try:
        return draw(cases)
    except ValueError as error:
        if "Unsupported type: 'Binary'" not in str(error):
            raise
        reject()


def check_every_operation(app, how):
    """Each operation of the document with requests that fit it and requests that do not."""
    n_checked = 0
    for found in schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations():
        operation = found.ok()

        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            cases = operation.as_strategy(generation_mode=mode)

            @how
            @given(case=drawn(cases))
            def check(case):
                case.call_and_validate(checks=CHECKS)

            try:
                check()
                n_checked += 1
            except Unsatisfiable:
                assert mode == GenerationMode.NEGATIVE  # an operation that takes nothing
    assert n_checked >= 13


def test_no_request_breaks_the_server(app):
    check_every_operation(app, QUICK)


@pytest.mark.slow
def test_no_request_of_many_breaks_the_server(app):
    check_every_operation(app, settings(parent=QUICK, max_examples=300))


def test_openapi_documents_the_actual_errors():
    with asked_here() as http:
        document = http.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert "422" not in operation["responses"], (path, method)
            assert operation["responses"]["400"]["content"]["application/json"]["schema"]["$ref"].endswith("ErrorBody")
            assert operation.get("summary") or operation.get("description"), (path, method)
    speech = document["paths"]["/tts"]["post"]
    assert set(speech["requestBody"]["content"]) == {"application/json", "multipart/form-data"}
    assert speech["requestBody"]["content"]["application/json"]["schema"]["examples"]
    assert {"200", "400", "401", "404", "413", "415", "429", "503"} <= set(speech["responses"])
    assert "$defs" not in str(document)


def test_no_router_is_included_twice():
    assert len(set(map(id, ROUTERS))) == len(ROUTERS)
