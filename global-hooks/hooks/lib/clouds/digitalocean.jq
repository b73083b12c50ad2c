# digitalocean://<droplet id>; regions (fra1) have no zones.
select(.scheme == "digitalocean")
