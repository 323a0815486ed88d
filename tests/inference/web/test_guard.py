"""Who is let in: token, Host, Origin, names of files, bodies."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.page import TOKEN, Client, serve, write_clip


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("guard")
    with serve(folder / "sessions", write_clip(folder / "clip.mp4", 3)) as (client, _):
        yield client


ADDRESSES = [("GET", "state"), ("GET", ""), ("GET", "frame/0.jpg"), ("GET", "page/main.js"), ("POST", "do/add_object")]


@pytest.mark.parametrize(("method", "path"), ADDRESSES)
@pytest.mark.parametrize("token", ["", "wrong/", f"{TOKEN}x/", f"{TOKEN[:-1]}/", f"x/{TOKEN}/", "%6bey/"])
def test_without_the_token_nothing_is_answered(client: Client, method: str, path: str, token: str) -> None:
    status, body = client.request(method, f"/{token}{path}", b"{}" if method == "POST" else None)
    assert status == 403 and body.startswith(b"refused: open the address that the program printed")
    assert len(client.state()["session"]["objects"]) == 0


@pytest.mark.parametrize(("method", "path"), ADDRESSES)
@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.0.0.1", "[::2]:1"])
def test_another_host_is_refused(client: Client, method: str, path: str, host: str) -> None:
    headers = {"Host": host, "Origin": f"http://{host}"}
    status, body = client.request(method, path, b"{}" if method == "POST" else None, headers)
    assert (status, body) == (403, b"refused: the header Host is not this server's")
    assert len(client.state()["session"]["objects"]) == 0


@pytest.mark.parametrize(("method", "path"), ADDRESSES)
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1", "https://{host}", "{host}"])
def test_another_origin_is_refused(client: Client, method: str, path: str, origin: str) -> None:
    headers = {"Origin": origin.format(host=client.host)}
    status, body = client.request(method, path, b"{}" if method == "POST" else None, headers)
    assert (status, body) == (403, b"refused: the header Origin is not this server's")


def test_a_change_needs_an_origin(client: Client) -> None:
    status, body = client.request("POST", "do/add_object", b"{}", {"Origin": ""})
    assert (status, body) == (403, b"refused: a change needs the header Origin")
    assert client.request("GET", "state", None, {"Origin": ""})[0] == 200


def test_through_a_tunnel_the_port_is_another_one(client: Client) -> None:
    headers = {"Host": "localhost:9999", "Origin": "http://localhost:9999"}
    assert client.request("GET", "state", None, headers)[0] == 200


def test_the_folder_is_the_page(client: Client) -> None:
    assert client.request("GET", f"/{TOKEN}")[0] == 307
    status, body = client.request("GET", "")
    assert status == 200 and body.startswith(b"<!doctype html>")


@pytest.mark.parametrize(
    "path",
    ["page/../server.py", "page/..%2Fserver.py", "page/%2e%2e/session.py", "download/..%2Fsession.json", "../state"],
)
def test_paths_stay_inside(client: Client, path: str) -> None:
    assert client.request("GET", path)[0] in (403, 404)


@pytest.mark.parametrize("name", ["../a.mp4", "..%2Fa.mp4", "%2Fetc%2Fa.mp4", "..%5Ca.mp4", "..", ".a.mp4", "a/b", ""])
def test_names_of_uploads_are_single_components(client: Client, name: str, tmp_path: Path) -> None:
    film = write_clip(tmp_path / "clip.mp4", 2).read_bytes()
    before = client.state()
    status, body = client.request("PUT", f"film?name={name}", film)
    assert status == 400 and "is no name of a file" in json.loads(body)["error"]
    assert client.state() == before


def test_sessions_are_named_by_their_folders_alone(client: Client) -> None:
    assert "there is no session '../sessions/clip'" in client.refused("open", folder="../sessions/clip")
    assert "there is no session '/tmp'" in client.refused("open", folder="/tmp")
