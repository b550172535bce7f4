"""Two states that Debian's adbd has not: a phone that awaits its owner's tap, and one that does not answer.

python stub.py unauthorized|offline PORT
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys

CONNECT, AUTHENTICATE = 0x4E584E43, 0x48545541
TOKEN, SIGNATURE = 1, 2
HEADER = struct.Struct("<6I")  # command, two arguments, length, sum and magic


def packet(command: int, kind: int, data: bytes) -> bytes:
    return HEADER.pack(command, kind, 0, len(data), sum(data), command ^ 0xFFFFFFFF) + data


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ask for another signature again and again; an offered public key is never accepted."""
    while True:
        command, kind, _, length, _, _ = HEADER.unpack(await reader.readexactly(HEADER.size))
        await reader.readexactly(length)
        if command == CONNECT or (command, kind) == (AUTHENTICATE, SIGNATURE):
            writer.write(packet(AUTHENTICATE, TOKEN, os.urandom(20)))
            await writer.drain()


async def ignore(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    while await reader.read(4096):
        pass


async def main(state: str, port: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await (refuse if state == "unauthorized" else ignore)(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the adb server has gone
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
