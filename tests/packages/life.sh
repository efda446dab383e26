# What an operator does with the packages in some years: /root/old and /root/new hold two versions, /root/old.db a catalogue
# of a version that is older still.
set -eu
as_guard() { runuser -u exodus-storage-guard -- "$@"; }
install() {
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends "$@" >/root/apt.log 2>&1 ||
    { cat /root/apt.log && return 1; }
}
admitted() { runuser -u uploader -- exodus-storage-guard admit --bytes '1 MiB' >/dev/null; }
known() { exodus-storage-guard status --json | grep -c '"resident"'; }
state=/var/lib/exodus-storage-guard

command install -d -o exodus-storage-guard /srv/apks /srv/archive
head -c 7 /dev/zero >/srv/apks/k
chown exodus-storage-guard: /srv/apks/k
printf '[store]\nurl = "directory:///srv/apks"\n[archive]\nurl = "directory:///srv/archive"\n' >/etc/exodus-storage-guard.toml
printf '[capacity]\nsource = "budget"\ntotal_bytes = "100 MiB"\n[admission]\nemergency_reserve = 0\n' >>/etc/exodus-storage-guard.toml
exodus-storage-guard init
useradd --system --groups exodus-storage-guard uploader
admitted
echo '# changed by the operator' >>/etc/letsencrypt/renewal-hooks/deploy/exodus-certbot
sha256sum /etc/exodus-storage-guard.toml /etc/letsencrypt/renewal-hooks/deploy/exodus-certbot >/root/operators

echo 'an upgrade: nothing is lost, and who serves is the new one'
before=$(systemctl show --property=MainPID --value exodus-storage-guard-serve)
install /root/new/*.deb
sha256sum --check --quiet /root/operators
test "$before" != "$(systemctl show --property=MainPID --value exodus-storage-guard-serve)"
test "$(exodus-storage-guard reservations | grep -c uploader)" = 1
admitted

echo 'a downgrade is refused, and all goes on'
if install --allow-downgrades /root/old/*.deb; then exit 1; fi
grep -q 'is older, and may not read the state' /root/apt.log
dpkg --audit
test "$(dpkg-query --show --showformat '${Version}\n' 'exodus-*' | sort --unique)" = VERSION
admitted

echo 'a catalogue of long ago is brought up'
systemctl stop exodus-storage-guard-serve.socket exodus-storage-guard-serve.service
rm "$state"/state.db*
command install -o exodus-storage-guard -g exodus-storage-guard -m 600 /root/old.db "$state/state.db"
DEBIAN_FRONTEND=noninteractive dpkg-reconfigure exodus-storage-guard
systemctl start exodus-storage-guard-serve.socket
exodus-storage-guard status | grep 'resident *1'

echo 'removed and installed again it knows what it knew'
apt-get remove --yes 'exodus-*' >/dev/null 2>&1
test -f "$state/state.db"
if install --allow-downgrades /root/old/*.deb; then exit 1; fi
grep -q 'was installed last; .* is older' /root/apt.log
install /root/new/*.deb
exodus-storage-guard status | grep 'resident *1'
sha256sum --check --quiet /root/operators

echo 'wrong settings fail no installation'
cp /etc/exodus-storage-guard.toml /root/kept.toml
echo 'nonsense' >/etc/exodus-storage-guard.toml
echo 'nonsense' >/etc/exodus-certbot.toml
apt-get remove --yes 'exodus-*' >/dev/null 2>&1
install /root/new/*.deb
if exodus-storage-guard config --check; then exit 1; fi
cp /root/kept.toml /etc/exodus-storage-guard.toml
rm /etc/exodus-certbot.toml
systemctl reset-failed
systemctl restart exodus-storage-guard-serve.socket
admitted

echo 'removed, it gives certbot its lineages back, whatever the settings'
mkdir -p /etc/letsencrypt/renewal /etc/letsencrypt/live
printf '[renewalparams]\nauthenticator = manual\ninstaller = exodus-nginx\n' >/etc/letsencrypt/renewal/a.example.conf
echo 'nonsense' >/etc/exodus-certbot.toml
apt-get remove --yes exodus-certbot >/dev/null 2>&1
if grep installer /etc/letsencrypt/renewal/a.example.conf; then exit 1; fi
rm /etc/exodus-certbot.toml
install /root/new/*.deb

echo 'a sweep at work ends before its program is gone'
mkdir -p /run/systemd/system/exodus-storage-guard.service.d
printf '[Service]\nExecStartPre=/bin/sleep infinity\n' >/run/systemd/system/exodus-storage-guard.service.d/slow.conf
systemctl daemon-reload
systemctl start --no-block exodus-storage-guard.service
until test "$(systemctl show --property=ActiveState --value exodus-storage-guard.service)" = activating; do sleep 0.1; done
apt-get remove --yes exodus-storage-guard >/dev/null 2>&1
test "$(systemctl show --property=ActiveState --value exodus-storage-guard.service)" != activating
install /root/new/*.deb

echo 'where there is no nginx nothing fails'
apt-get purge --yes nginx nginx-common >/dev/null 2>&1
systemctl start exodus-certbot.service
test "$(systemctl show --property=ConditionResult --value exodus-certbot.service)" = no
! systemctl is-failed --quiet exodus-certbot.service

echo 'purged it leaves nothing of its own'
apt-get purge --yes 'exodus-*' >/dev/null 2>&1
left=$(find / -xdev -name '*exodus*' -not -path '/root/*' -not -path '/opt/*' -not -path '/proc/*' -not -path '/srv/*') # where the archive is
test -z "$left" || { echo "left: $left"; exit 1; }
