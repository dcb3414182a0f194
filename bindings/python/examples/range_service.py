"""An HTTP service that answers range requests for files of a folder: range_service.py FOLDER [PORT]."""

import asyncio
import os
import re
import sys

import lsio


async def answer(folder: str, head: bytes) -> tuple[str, bytes]:
    """Return status and body for a request's head."""
    request = re.match(rb"GET /([\w.-]+) HTTP", head)
    span = re.search(rb"(?i)\r\nrange: bytes=(\d+)-(\d+)\r\n", head)
    if not request or not span:
        return "400 Bad Request", b"GET /NAME with Range: bytes=FIRST-LAST\n"
    path = os.path.join(folder, request[1].decode())
    first, last = int(span[1]), int(span[2])
    try:
        data = await lsio.get_range_async(path, start=first, end=last + 1, timeout=10)
    except lsio.NotFoundError:
        return "404 Not Found", b"there is no such file\n"
    except lsio.Error as e:
        return "416 Range Not Satisfiable", f"{e}\n".encode()
    return "206 Partial Content", data.tobytes()


async def serve(folder: str, port: int) -> asyncio.Server:
    """Listen on the loopback address; any number of connections read at the same time."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                status, body = await answer(folder, head)
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    return await asyncio.start_server(connected, "127.0.0.1", port)


async def main(folder: str, port: int = 8080) -> None:
    """Serve until interrupted."""
    server = await serve(folder, port)
    print("listening on", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:3])))
