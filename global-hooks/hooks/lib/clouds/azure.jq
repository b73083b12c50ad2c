# azure:///subscriptions/…/virtualMachines/node-1 names no place. Without availability zones the zone label holds the
# number of a fault domain ("0"); real zones begin with the region ("westeurope-1").
select(.scheme == "azure")
| if .zone | test("^[0-9]+$") then .zone = "" else . end
| .region = known(.region, (.zone | found("^(?<region>.+)-[0-9]+$")))
