"""An interface engine: takes HL7 v2 over MLLP and acknowledges it, with Debian's python3-hl7."""

import asyncio
import sys

import hl7
from hl7.mllp import start_hl7_server


async def converse(reader, writer):
    try:
        while not writer.is_closing():
            message = await reader.readmessage()
            writer.writemessage(message.create_ack())
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main(address, port):
    async with await start_hl7_server(converse, host=address, port=port) as server:
        await server.serve_forever()


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
