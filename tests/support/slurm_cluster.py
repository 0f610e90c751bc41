"""A cluster of SLURM on this machine, for tests: a controller and two nodes of two processors.

Everything lies in one folder: its own munge key and socket, ports that were free, no systemd. It is
stopped by the process ids that its own daemons wrote.
"""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
ACCOUNTING = ("slurmdbd", "mariadbd", "mariadb-install-db", "sacctmgr")
NODES = ("n1", "n2")

CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={munge},cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=10
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0,bf_resolution=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
JobRequeue=1
MaxArraySize=10001
MaxJobCount=20000
KillWait=5
MinJobAge={memory_seconds}
InactiveLimit=0
OverTimeLimit=0
GresTypes=gpu
NodeName=n1 NodeHostName={host} NodeAddr=127.0.0.1 Port={n1} CPUs={cpus} RealMemory=4000 Gres=gpu:1
NodeName=n2 NodeHostName={host} NodeAddr=127.0.0.1 Port={n2} CPUs={cpus} RealMemory=4000 Gres=gpu:1
PartitionName=main Nodes=ALL Default=YES MaxTime=02:00:00 PriorityTier=1 PreemptMode=REQUEUE
PartitionName=warned Nodes=ALL MaxTime=02:00:00 PriorityTier=1 PreemptMode=REQUEUE GraceTime=30
PartitionName=high Nodes=ALL MaxTime=02:00:00 PriorityTier=10 PreemptMode=OFF
"""
WITHOUT_ACCOUNTING = """
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
"""
WITH_ACCOUNTING = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={munge}
JobAcctGatherType=jobacct_gather/none
"""
DATABASE = """
AuthType=auth/munge
AuthInfo=socket={munge}
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser={user}
LogFile={folder}/log/slurmdbd.log
PidFile={folder}/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser={user}
StorageLoc=slurm_acct
"""


def missing(accounting=False):
    """Say what keeps a cluster from being started here; None if nothing does."""
    needed = PROGRAMS + (ACCOUNTING if accounting else ())
    absent = [name for name in needed if shutil.which(name) is None]
    if absent:
        return f"{', '.join(absent)} not installed"
    return None if os.geteuid() == 0 else "its daemons need root"


class SlurmCluster:
    """Starts the daemons in a folder and stops them.

    Parameters
    ----------
    folder : Path
        Empty; its path is short, because the path of a socket must be.
    accounting : bool
        Whether to run slurmdbd on a MariaDB of its own.
    cpus : int
        Processors that each node says it has.
    memory_seconds : int
        How long the controller remembers jobs that are over.
    """

    def __init__(self, folder, accounting=False, cpus=2, memory_seconds=600):
        self.folder = Path(folder)
        self.configuration = self.folder / "slurm.conf"
        self.accounts = accounting
        self._environment = os.environ | {"SLURM_CONF": str(self.configuration)}
        self._values = {
            "folder": folder,
            "cpus": cpus,
            "memory_seconds": memory_seconds,
            "host": socket.gethostname().partition(".")[0],
            "user": getpass.getuser(),
            "munge": self.folder / "munge" / "socket" / "s",
            "controller_port": free_port(),
            "port": free_port(),
            "n1": free_port(),
            "n2": free_port(),
        }

    def start(self):
        for name in ("state", "log", "run", "munge", "munge/socket", "spool.n1", "spool.n2"):
            (self.folder / name).mkdir(mode=0o755)
        (self.folder / "munge").chmod(0o711)
        self._start_munge()
        accounting = WITH_ACCOUNTING if self.accounts else WITHOUT_ACCOUNTING
        text = (CONFIGURATION + accounting).format_map(self._values)
        self.configuration.write_text(text)
        (self.folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        if self.accounts:
            self._start_database()
        self.run("slurmctld", "-c")
        for node in NODES:
            self.start_node(node)
        self.wait_for(lambda: self.idle_nodes() == set(NODES), "two idle nodes")

    def _start_munge(self):
        munge = self.folder / "munge"
        (munge / "key").write_bytes(os.urandom(1024))
        (munge / "key").chmod(0o400)
        files = {"key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        options = [f"--{option}={munge / name}" for option, name in files.items()]
        self.run("munged", "--force", f"--socket={self._values['munge']}", *options)

    def _start_database(self):
        data, where = self.folder / "mysql", self.folder / "run" / "mysql.sock"
        base = ["--no-defaults", f"--user={self._values['user']}", f"--datadir={data}"]
        install = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        self.run("mariadb-install-db", *base, *install)
        pid = f"--pid-file={self.folder / 'run' / 'mysql.pid'}"
        with open(self.folder / "log" / "mysql.log", "wb") as log:
            subprocess.Popen(
                ["mariadbd", *base, f"--socket={where}", pid, "--skip-networking"],
                stdout=log,
                stderr=log,
            )
        ping = ["mariadb-admin", "--no-defaults", f"--socket={where}", "ping"]
        self.wait_for(lambda: subprocess.run(ping, capture_output=True).returncode == 0, "MariaDB")
        settings = self.folder / "slurmdbd.conf"
        settings.write_text(DATABASE.format_map(self._values))
        settings.chmod(0o600)
        # slurmdbd has no setting for the socket, libmariadb reads it from here
        environment = {"MYSQL_UNIX_PORT": str(where), "SLURM_CONF": str(settings)}
        subprocess.run(["slurmdbd"], check=True, env=os.environ | environment)

        def answers():
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self._values["port"]), 1).close()
                return True

        self.wait_for(answers, "slurmdbd")

    def start_node(self, node):
        self.run("slurmd", "-N", node)

    def kill_node(self, node):
        """Make a node disappear: its daemon and all that runs on it."""
        daemon = int((self.folder / "run" / f"slurmd.{node}.pid").read_text())
        victims = [
            pid for pid in self.processes() if f"SLURMD_NODENAME={node}\0" in environment_of(pid)
        ]
        jobs = {job_of(pid) for pid in victims}
        steps = [
            pid
            for pid, line in command_lines()
            if line.startswith("slurmstepd: [") and line[13:].partition(".")[0] in jobs
        ]
        for pid in [daemon, *steps, *victims]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def processes(self):
        """Return the processes of jobs."""
        mark = f"SLURM_CONF={self.configuration}\0"
        for entry in Path("/proc").glob("[0-9]*"):
            pid = int(entry.name)
            if mark in (found := environment_of(pid)) and "SLURM_JOB_ID=" in found:
                yield pid

    def kill_job(self):
        """End all processes of one job, as a machine without memory does."""
        processes = {pid: job_of(pid) for pid in self.processes()}
        victim = min(filter(None, processes.values()))
        for pid in (pid for pid, job in processes.items() if job == victim):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def run(self, *command):
        """Run a command of SLURM and return what it prints."""
        done = subprocess.run(command, capture_output=True, text=True, env=self._environment)
        assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
        return done.stdout

    def idle_nodes(self):
        with contextlib.suppress(AssertionError):
            found = self.run("sinfo", "-h", "-N", "-p", "main", "-o", "%N|%t").split()
            return {line.partition("|")[0] for line in found if line.endswith("|idle")}
        return set()

    def wait_for(self, condition, what, seconds=180):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
            time.sleep(0.1)

    def settle(self):
        """Empty the queue and bring every node back."""
        self.run("scancel", f"--user={self._values['user']}")
        self.wait_for(lambda: not self.run("squeue", "-h").strip(), "an empty queue")
        for node in set(NODES) - self.idle_nodes():
            with contextlib.suppress(AssertionError):
                self.run("scontrol", "update", f"nodename={node}", "state=resume")
        self.wait_for(lambda: self.idle_nodes() == set(NODES), "idle nodes")

    def stop(self):
        with contextlib.suppress(AssertionError):
            self.run("scancel", f"--user={self._values['user']}")
            self.wait_for(lambda: not self.run("squeue", "-h").strip(), "an empty queue", 20)
        names = ["slurmd.n1", "slurmd.n2", "slurmctld", "slurmdbd", "mysql"]
        paths = [self.folder / "run" / f"{name}.pid" for name in names]
        for path in [*paths, self.folder / "munge" / "pid"]:
            with contextlib.suppress(OSError, ValueError):
                pid = int(path.read_text())
                os.kill(pid, signal.SIGTERM)
                deadline = time.monotonic() + 10
                while is_alive(pid) and time.monotonic() < deadline:
                    time.sleep(0.05)
        shutil.rmtree(self.folder, ignore_errors=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment_of(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_text(errors="replace")
    return ""


def job_of(pid):
    return environment_of(pid).partition("SLURM_JOB_ID=")[2].partition("\0")[0]


def command_lines():
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield int(entry.name), (entry / "cmdline").read_text(errors="replace")


def is_alive(pid):
    with contextlib.suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False
