"""A Ray cluster of two nodes on this machine, in a process of its own.

    python ray_cluster.py

It prints the address, then obeys a line at a time: ``remove`` kills the second node, ``add`` starts
one, both answered by a line. It ends with its standard input.
"""

import json
import subprocess
import sys

NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20}


class RayCluster:
    """The process, as tests use it."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self._answer()

    def _answer(self):
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)["answer"]
        raise RuntimeError("the Ray cluster of the tests has ended")

    def tell(self, word):
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        self._answer()

    def stop(self):
        self._process.stdin.close()
        self._process.wait(60)


def main():
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    nodes = [cluster.add_node(**NODE)]

    def answer(value):
        print(json.dumps({"answer": value}), flush=True)

    answer(cluster.address)
    for line in sys.stdin:
        if line.strip() == "remove":
            cluster.remove_node(nodes.pop(), allow_graceful=False)
        else:
            nodes.append(cluster.add_node(**NODE))
        answer(line.strip())
    cluster.shutdown()


if __name__ == "__main__":
    main()
