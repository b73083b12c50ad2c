# yandex://<instance id>; zones are named after their region: ru-central1-a.
select(.scheme == "yandex")
| .region = known(.region, (.zone | found("^(?<region>.+)-[a-z]$")))
