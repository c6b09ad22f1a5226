"""A patient monitor that speaks IEEE 11073 SDC: it announces itself and answers probes, with sdc11073."""

import sys
import time
import uuid

from sdc11073.wsdiscovery import WSDiscoverySingleAdapter
from sdc11073.xml_types import wsd_types
from sdc11073.definitions_sdc import SdcV1Definitions

role, adapter = sys.argv[1], sys.argv[2]
discovery = WSDiscoverySingleAdapter(adapter)
discovery.start()
if role == "monitor":
    scopes = wsd_types.ScopesType("sdc.ctxt.loc:/sdc.ctxt.loc.detail/LAB%2F%2F%2F%2F%2F12?fac=LAB&bed=12")
    address = uuid.uuid5(uuid.NAMESPACE_DNS, "monitor.lab").urn
    discovery.publish_service(address, SdcV1Definitions.MedicalDeviceTypesFilter, scopes, [f"https://{sys.argv[3]}:6464/{address}"])
    while True:
        time.sleep(1)
while True:
    discovery.search_services(types=SdcV1Definitions.MedicalDeviceTypesFilter, timeout=2)
    time.sleep(4)
