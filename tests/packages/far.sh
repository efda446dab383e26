# The guard as it is installed, with a store on a MinIO, an archive behind sshd, and nothing that starts it but its timer.
set -eu
home=/var/lib/minio
export HOME=/root # mc wants one
mkdir -p "$home" /srv/archive
systemd-run --quiet --unit=minio --setenv=MINIO_BROWSER=off --setenv=MINIO_ROOT_USER=exodus --setenv=MINIO_ROOT_PASSWORD=exodus-secret \
  minio server --address 127.0.0.1:9000 "$home"
for attempt in $(seq 100); do
  mc alias set ours http://127.0.0.1:9000 exodus exodus-secret >/root/said 2>&1 && break
  sleep 0.2
done
mc ls ours/ >/dev/null || { cat /root/said && journalctl --unit minio --no-pager --output cat && exit 1; }
mc mb --quiet ours/apks
for number in $(seq 10 29); do head -c 1048576 /dev/urandom >"/root/a$number.apk"; done
mc cp --quiet /root/a*.apk ours/apks/ >/dev/null

useradd --system --shell /bin/sh backup-of-apks
chown backup-of-apks /srv/archive
settings=/etc/exodus-storage-guard
mkdir "$settings"
ssh-keygen -q -t ed25519 -N '' -f "$settings/archive-key"
mkdir -p /home/backup-of-apks/.ssh /run/sshd
usermod --home /home/backup-of-apks backup-of-apks
cp "$settings/archive-key.pub" /home/backup-of-apks/.ssh/authorized_keys
chown -R backup-of-apks: /home/backup-of-apks
chmod 700 /home/backup-of-apks/.ssh
systemctl restart ssh
until ssh-keyscan 127.0.0.1 2>/dev/null >"$settings/known_hosts" && test -s "$settings/known_hosts"; do sleep 0.2; done
echo exodus >"$settings/access-key"
echo exodus-secret >"$settings/secret-key"
chown -R exodus-storage-guard: "$settings"
chmod 600 "$settings"/*
cat >/etc/exodus-storage-guard.toml <<'TOML'
[store]
url = "s3://apks"
endpoint = "http://127.0.0.1:9000"
region = "us-east-1"
access_key_file = "/etc/exodus-storage-guard/access-key"
secret_key_file = "/etc/exodus-storage-guard/secret-key"
[archive]
url = "ssh://backup-of-apks@127.0.0.1/srv/archive"
identity_file = "/etc/exodus-storage-guard/archive-key"
known_hosts_file = "/etc/exodus-storage-guard/known_hosts"
[capacity]
source = "budget"
total_bytes = "21 MiB"
[admission]
emergency_reserve = 0
[select]
pattern = '.*\.apk'
minimum_age_days = 0
TOML
exodus-storage-guard config --check
exodus-storage-guard init || { systemctl status minio; journalctl --unit minio --no-pager --output cat; exit 1; }

mkdir -p /etc/systemd/system/exodus-storage-guard.timer.d
printf '[Timer]\nOnCalendar=*:*:0/2\nRandomizedDelaySec=0\nAccuracySec=1s\n' >/etc/systemd/system/exodus-storage-guard.timer.d/soon.conf
systemctl daemon-reload
systemctl restart exodus-storage-guard.timer
for attempt in $(seq 150); do
  test "$(find /srv/archive -name '*.apk' | wc -l)" -ge 2 && break
  sleep 0.2
done
systemctl stop exodus-storage-guard.timer
while systemctl show --property=ActiveState --value exodus-storage-guard.service | grep -q activating; do sleep 0.2; done
systemctl show --property=Result --value exodus-storage-guard.service | grep -q success
archived=$(find /srv/archive -name '*.apk' -printf '%f\n' | sort | head -n 1)
test -n "$archived" || {
  systemctl list-timers --all --no-pager
  journalctl --unit exodus-storage-guard.service --no-pager --output cat
  exodus-storage-guard plan
  exit 1
}
test "$(mc ls ours/apks | grep -c "$archived")" = 0
cmp "/root/$archived" "/srv/archive/$archived"
exodus-storage-guard restore "$archived"
mc cat "ours/apks/$archived" | cmp - "/root/$archived"
exodus-storage-guard check
