# vsphere://<uuid>; region and zone come from tags, as labels.
select(.scheme == "vsphere")
