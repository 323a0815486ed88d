"""The addresses of the page: its files, frames and masks, changes, news, uploads and downloads."""

import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio.to_thread
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from inference.web.export import FILES, file_of
from inference.web.film import decode_ids, encode_ids
from inference.web.folder import discard, new_folder
from inference.web.guard import Guard
from inference.web.session import Conflict
from inference.web.studio import Studio
from util.files.atomic import temporary_sibling
from util.files.palette import object_ids, read_mask

PAGE = Path(__file__).with_name("page")
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_LARGEST_BODY = 64 * 2**20  # of anything but a film
_LARGEST_JSON = 2**16

Handler = Callable[[Request, Studio], Awaitable[Response]]


def build_app(studio: Studio, token: str, hosts: frozenset[str], any_address: bool = False) -> ASGIApp:
    """Return the ASGI application, guarded as `Guard` says."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        studio.events.close()

    def route(path: str, handler: Handler, method: str = "GET") -> Route:
        async def answer(request: Request) -> Response:
            return await _answer(handler, request, studio)

        return Route(path, answer, methods=[method])

    routes = [
        route("/", _page),
        route("/page/{name}", _page),
        route("/state", _state),
        route("/events", _events),
        route("/frame/{frame:int}.jpg", _frame),
        route("/mask/{frame:int}.png", _mask),
        route("/given/{frame:int}", _paint, "PUT"),
        route("/import/{frame:int}", _import, "PUT"),
        route("/film", _upload, "PUT"),
        route("/do/{action}", _do, "POST"),
        route("/download/{kind}", _download),
    ]
    return Guard(Starlette(routes=routes, lifespan=lifespan), token, hosts, any_address)


async def _answer(handler: Handler, request: Request, studio: Studio) -> Response:
    """Answer a request; errors that the user can mend become a message for the page."""
    try:
        return await handler(request, studio)
    except Conflict as error:
        return JSONResponse({"error": str(error)}, status_code=409)
    except (ValueError, IndexError, FileNotFoundError) as error:
        return JSONResponse({"error": str(error)}, status_code=400)
    except OSError as error:
        return JSONResponse({"error": f"The disk refuses: {error}"}, status_code=507)


async def _page(request: Request, studio: Studio) -> Response:
    name = request.path_params.get("name", "index.html")
    if name not in {file.name for file in PAGE.iterdir()}:
        return JSONResponse({"error": "there is no such file"}, status_code=404)
    return FileResponse(PAGE / name, media_type=_TYPES[Path(name).suffix])


async def _state(request: Request, studio: Studio) -> Response:
    return JSONResponse(await anyio.to_thread.run_sync(studio.state))


async def _events(request: Request, studio: Studio) -> Response:
    return StreamingResponse(studio.events.stream(), media_type="text/event-stream")


async def _frame(request: Request, studio: Studio) -> Response:
    content = await anyio.to_thread.run_sync(studio.require().film.jpeg, request.path_params["frame"])
    # The address holds the session's name, so that a browser may keep the picture for a while.
    return Response(content, media_type="image/jpeg")


async def _mask(request: Request, studio: Studio) -> Response:
    session, frame = studio.require(), request.path_params["frame"]
    if not 0 <= frame < len(session.film):
        raise ValueError(f"there is no frame {frame}")
    ids = await anyio.to_thread.run_sync(session.shown, frame)
    return Response(await anyio.to_thread.run_sync(encode_ids, ids), media_type="image/png")


async def _paint(request: Request, studio: Studio) -> Response:
    session, frame = studio.require(), request.path_params["frame"]
    about = [int(word) for word in request.query_params.get("objects", "").split(",") if word]
    version = int(request.query_params.get("version", "0"))
    body = await _body(request, _LARGEST_BODY)

    def paint() -> int:
        return session.paint(frame, decode_ids(body, session.film.size), about, version)

    return JSONResponse({"version": await anyio.to_thread.run_sync(paint)})


async def _import(request: Request, studio: Studio) -> Response:
    """Take a mask PNG for a frame: its ids become objects where they are none yet."""
    session, frame = studio.require(), request.path_params["frame"]
    version = int(request.query_params.get("version", "0"))
    body = await _body(request, _LARGEST_BODY)

    def take() -> int:
        file = temporary_sibling(session.folder / "import.png")
        try:
            file.write_bytes(body)
            mask = read_mask(file)
        except ValueError as error:
            raise ValueError(str(error).replace(str(file), "file")) from None
        finally:
            file.unlink(missing_ok=True)
        if mask.shape != session.film.size:
            height, width = session.film.size
            raise ValueError(
                f"The mask has {mask.shape[1]}x{mask.shape[0]} pixels, the film {width}x{height}. Resize it with "
                "nearest neighbour."
            )
        if not mask.any():
            raise ValueError("The mask holds no object, only zeros.")
        session.require_objects(object_ids(mask))
        return session.paint(frame, mask.astype("uint8"), object_ids(mask), version)

    return JSONResponse({"version": await anyio.to_thread.run_sync(take)})


async def _upload(request: Request, studio: Studio) -> Response:
    """Write a film to a new session's folder as it comes, and open it if it can be decoded."""
    name = request.query_params.get("name", "")
    if not name or name != Path(name).name or "\\" in name or name.startswith("."):
        raise ValueError(f"{name!r} is no name of a file")
    suffix = Path(name).suffix.lower()
    folder = new_folder(studio.root, Path(name).stem)
    film = folder / f"film{suffix if re.fullmatch(r'[.][a-z0-9]{1,5}', suffix) else ''}"
    folder.mkdir(parents=True)
    try:
        async with await anyio.open_file(film, "wb") as file:
            async for block in request.stream():
                await file.write(block)
        await anyio.to_thread.run_sync(studio.adopt, folder, film, Path(name).stem)
    except ClientDisconnect:
        return Response(status_code=400)
    except ValueError as error:
        raise ValueError(str(error).replace(str(film), name)) from None
    finally:
        discard(folder)
    return JSONResponse({})


async def _do(request: Request, studio: Studio) -> Response:
    """Carry out one of the small changes; the body is JSON."""
    body = await _body(request, _LARGEST_JSON)
    try:
        wish = json.loads(body or b"{}")
        action = _ACTIONS[request.path_params["action"]]
    except (json.JSONDecodeError, KeyError):
        return JSONResponse({"error": "there is no such action"}, status_code=404)
    if not isinstance(wish, dict):
        raise ValueError("expected a JSON object")
    try:
        done = await anyio.to_thread.run_sync(action, studio, wish)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{request.path_params['action']}: {error!r}") from error
    return JSONResponse(done or {})


async def _download(request: Request, studio: Studio) -> Response:
    session, kind = studio.require(), request.path_params["kind"]
    if kind not in FILES or not file_of(session, kind).is_file():
        return JSONResponse({"error": "there is no such download"}, status_code=404)
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", session.name) or "film"
    return FileResponse(file_of(session, kind), filename=f"{stem}_{FILES[kind]}")


async def _body(request: Request, largest: int) -> bytes:
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > largest:
            raise ValueError(f"the request holds more than {largest} bytes")
    return bytes(body)


def _add_object(studio: Studio, wish: dict[str, Any]) -> dict[str, Any]:
    return {"id": studio.require().add_object().id}


_ACTIONS: dict[str, Callable[[Studio, dict[str, Any]], dict[str, Any] | None]] = {
    "open": lambda studio, wish: studio.open_folder(str(wish["folder"])),
    "open_packaged": lambda studio, wish: studio.open_packaged(),
    "close": lambda studio, wish: studio.close_session(),
    "add_object": _add_object,
    "change_object": lambda studio, wish: studio.require().change_object(int(wish["id"]), dict(wish["changes"])),
    "delete_object": lambda studio, wish: studio.require().delete_object(int(wish["id"])),
    "set_size": lambda studio, wish: studio.require().set_size(int(wish["size"])),
    "propagate": lambda studio, wish: studio.propagate(str(wish["direction"]), int(wish["frame"])),
    "stop": lambda studio, wish: studio.worker.stop(),
    "export": lambda studio, wish: studio.exporter.start(studio.require(), str(wish["kind"])),
}
