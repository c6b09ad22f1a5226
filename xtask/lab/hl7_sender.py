"""An infusion pump's station: IHE PCD-01 reports over MLLP. The patient is invented, and must not be seen elsewhere."""

import asyncio
import sys

import hl7
from hl7.mllp import open_hl7_connection

MESSAGE = "\r".join(
    [
        "MSH|^~\\&|PAT_DEVICE_BBRAUN^0012210A0B0C0D0E^EUI-64|LAB|ENGINE|LAB|20261122083000||ORU^R01^ORU_R01|{n}|P|2.6",
        "PID|1||MRN55501^^^LAB^MR||Labrador^Ludmilla^Q||19550417|F",
        "OBR|1|||69985^MDC_DEV_PUMP_INFUS_MDS^MDC|||20261122083000",
        "OBX|1||69985^MDC_DEV_PUMP_INFUS_MDS^MDC|1.0.0.0|||||||X|||||||0012210A0B0C0D0E^^0012210A0B0C0D0E^EUI-64",
        "OBX|2|NM|157784^MDC_FLOW_FLUID_PUMP^MDC|1.1.1.1|4.2|265266^MDC_DIM_MILLI_L_PER_HR^MDC|||||R",
    ]
) + "\r"


async def main(address, port):
    for n in range(1, 1000):
        reader, writer = await asyncio.wait_for(open_hl7_connection(address, port), 10)
        writer.writemessage(hl7.parse(MESSAGE.format(n=n)))
        await writer.drain()
        await asyncio.wait_for(reader.readmessage(), 10)
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(3)


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
