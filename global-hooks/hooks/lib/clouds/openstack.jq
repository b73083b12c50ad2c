# openstack:///<uuid>, or openstack://RegionOne/<uuid> where the cloud controller manager knows its region.
select(.scheme == "openstack")
| .region = known(.region, (if .path | length > 1 then .path[0] else "" end))
