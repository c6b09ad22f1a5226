"""A building controller, or the workstation that asks it, with bacpypes3."""

import asyncio
import sys

from bacpypes3.ipv4.app import NormalApplication
from bacpypes3.local.device import DeviceObject
from bacpypes3.pdu import Address, IPv4Address
from bacpypes3.primitivedata import ObjectIdentifier


def device(number, name, vendor, model):
    return DeviceObject(
        objectIdentifier=("device", number),
        objectName=name,
        vendorIdentifier=vendor,
        vendorName="Lab Controls",
        modelName=model,
        firmwareRevision="4.1",
        applicationSoftwareVersion="2.0",
    )


async def main(role, address, peer):
    if role == "controller":
        NormalApplication(device(1201, "AHU-LAB", 7, "PXC4"), IPv4Address(f"{address}/24"))
        await asyncio.Event().wait()
    application = NormalApplication(device(1, "BMS", 7, "Desigo CC"), IPv4Address(f"{address}/24"))
    while True:
        await application.who_is(1201, 1201)
        for name in ("model-name", "firmware-revision", "vendor-name"):
            await application.read_property(Address(peer), ObjectIdentifier("device,1201"), name)
        await asyncio.sleep(5)


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else ""))
