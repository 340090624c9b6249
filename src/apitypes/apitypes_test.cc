#include <gtest/gtest.h>

#include "apitypes/build.h"
#include "apitypes/container.h"
#include "apitypes/image.h"
#include "apitypes/network.h"
#include "apitypes/stats.h"
#include "apitypes/system.h"
#include "apitypes/volume.h"

namespace estiba::apitypes {
namespace {

/// What is read and written again is the same text: no key lost, added, moved, or turned from null into [].
template <class T>
void expectSame(std::string_view text) {
  const json::value value = parseJson(text, "sample");
  EXPECT_EQ(dumpJson(toJson(fromJson<T>(value))), dumpJson(value));
}

constexpr std::string_view kHostConfig = R"({
  "Binds": null, "ContainerIDFile": "", "LogConfig": {"Type": "json-file", "Config": {}}, "NetworkMode": "bridge",
  "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
  "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "AutoRemove": false, "VolumeDriver": "",
  "VolumesFrom": null, "ConsoleSize": [30, 120], "CapAdd": null, "CapDrop": null, "CgroupnsMode": "private",
  "Dns": [], "DnsOptions": [], "DnsSearch": [], "ExtraHosts": [], "GroupAdd": null, "IpcMode": "private", "Cgroup": "",
  "Links": null, "OomScoreAdj": 0, "PidMode": "", "Privileged": false, "PublishAllPorts": false,
  "ReadonlyRootfs": false, "SecurityOpt": null, "UTSMode": "", "UsernsMode": "", "ShmSize": 67108864,
  "Runtime": "runc", "Isolation": "", "CpuShares": 0, "Memory": 0, "NanoCpus": 0, "CgroupParent": "",
  "BlkioWeight": 0, "BlkioWeightDevice": [], "BlkioDeviceReadBps": [], "BlkioDeviceWriteBps": [],
  "BlkioDeviceReadIOps": [], "BlkioDeviceWriteIOps": [], "CpuPeriod": 0, "CpuQuota": 0, "CpuRealtimePeriod": 0,
  "CpuRealtimeRuntime": 0, "CpusetCpus": "", "CpusetMems": "",
  "Devices": [{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"}],
  "DeviceCgroupRules": null,
  "DeviceRequests": [{"Driver": "", "Count": -1, "DeviceIDs": null, "Capabilities": [["gpu"]], "Options": {}}],
  "MemoryReservation": 0, "MemorySwap": 0, "MemorySwappiness": null, "OomKillDisable": null, "PidsLimit": null,
  "Ulimits": [{"Name": "nofile", "Hard": 2048, "Soft": 1024}], "CpuCount": 0, "CpuPercent": 0, "IOMaximumIOps": 0,
  "IOMaximumBandwidth": 0,
  "Mounts": [{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1048576, "Mode": 1023}},
             {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": true,
              "BindOptions": {"Propagation": "rslave", "CreateMountpoint": true}}],
  "MaskedPaths": ["/proc/asound", "/proc/acpi"], "ReadonlyPaths": ["/proc/bus"], "Init": true})";

constexpr std::string_view kConfig = R"({
  "Hostname": "1f2e3d4c5b6a", "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": true,
  "AttachStderr": true, "ExposedPorts": {"80/tcp": {}}, "Tty": false, "OpenStdin": false, "StdinOnce": false,
  "Env": ["PATH=/usr/bin:/bin"], "Cmd": ["sh", "-c", "true"],
  "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 30000000000, "Retries": 3}, "Image": "busybox",
  "Volumes": null, "WorkingDir": "", "Entrypoint": null, "OnBuild": null, "Labels": {"a": "b"},
  "StopSignal": "SIGQUIT", "StopTimeout": 1})";

constexpr std::string_view kEndpoint = R"({
  "IPAMConfig": null, "Links": null, "Aliases": null, "MacAddress": "02:42:ac:11:00:02", "DriverOpts": null,
  "GwPriority": 0, "NetworkID": "n", "EndpointID": "e", "Gateway": "172.17.0.1", "IPAddress": "172.17.0.2",
  "IPPrefixLen": 16, "IPv6Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "DNSNames": null})";

TEST(ContainerConfig, KeepsEveryKeyAndNull) {
  expectSame<ContainerConfig>(kConfig);
  expectSame<HostConfig>(kHostConfig);
}

TEST(ContainerInspect, KeepsEveryKeyAndNull) {
  expectSame<ContainerInspect>(fmt::format(
      R"({{"Id": "i", "Created": "2025-01-02T03:04:05.678901234Z", "Path": "sh", "Args": ["-c", "true"],
  "State": {{"Status": "running", "Running": true, "Paused": false, "Restarting": false, "OOMKilled": false,
    "Dead": false, "Pid": 42, "ExitCode": 0, "Error": "", "StartedAt": "2025-01-02T03:04:06Z",
    "FinishedAt": "0001-01-01T00:00:00Z", "Health": {{"Status": "healthy", "FailingStreak": 0, "Log": [
      {{"Start": "2025-01-02T03:04:36Z", "End": "2025-01-02T03:04:37Z", "ExitCode": 0, "Output": "ok\n"}}]}}}},
  "Image": "sha256:aa", "ResolvConfPath": "/r", "HostnamePath": "/h", "HostsPath": "/o", "LogPath": "/l",
  "Name": "/x", "RestartCount": 0, "Driver": "overlay2", "Platform": "linux", "MountLabel": "", "ProcessLabel": "",
  "AppArmorProfile": "", "ExecIDs": null, "HostConfig": {},
  "GraphDriver": {{"Data": {{"LowerDir": "/1", "UpperDir": "/2"}}, "Name": "overlay2"}}, "SizeRw": 0,
  "SizeRootFs": 4269678,
  "Mounts": [{{"Type": "volume", "Name": "v", "Source": "/s", "Destination": "/d", "Driver": "local", "Mode": "z",
    "RW": true, "Propagation": ""}},
    {{"Type": "bind", "Source": "/s", "Destination": "/e", "Mode": "", "RW": false, "Propagation": "rprivate"}}],
  "Config": {},
  "NetworkSettings": {{"Bridge": "", "SandboxID": "s", "SandboxKey": "/k",
    "Ports": {{"443/tcp": null, "80/tcp": [{{"HostIp": "0.0.0.0", "HostPort": "8080"}}]}}, "HairpinMode": false,
    "LinkLocalIPv6Address": "", "LinkLocalIPv6PrefixLen": 0, "SecondaryIPAddresses": null,
    "SecondaryIPv6Addresses": null, "EndpointID": "e", "Gateway": "172.17.0.1", "GlobalIPv6Address": "",
    "GlobalIPv6PrefixLen": 0, "IPAddress": "172.17.0.2", "IPPrefixLen": 16, "IPv6Gateway": "",
    "MacAddress": "02:42:ac:11:00:02", "Networks": {{"bridge": {}}}}}}})",
      kHostConfig, kConfig, kEndpoint));
}

TEST(ContainerSummary, KeepsEveryKeyAndNull) {
  expectSame<std::vector<ContainerSummary>>(fmt::format(
      R"([{{"Id": "i", "Names": ["/x"], "Image": "busybox", "ImageID": "sha256:aa", "Command": "sh -c true",
  "Created": 1735787045, "Ports": [{{"PrivatePort": 443, "Type": "tcp"}},
    {{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}}],
  "Labels": {{}}, "State": "running", "Status": "Up 2 seconds", "HostConfig": {{"NetworkMode": "bridge"}},
  "NetworkSettings": {{"Networks": {{"bridge": {}}}}}, "Mounts": []}}])",
      kEndpoint));
}

TEST(ContainerCreateRequest, IsReadAsClientsSendIt) {
  const auto r = parseJsonAs<ContainerCreateRequest>(
      R"({"Image":"busybox","Cmd":["true"],"Entrypoint":null,"Labels":null,"Env":null,"ExposedPorts":{"80/tcp":{}},
          "Unknown":{"x":1},"HostConfig":{"NetworkMode":"none","Memory":1048576,"MemorySwappiness":-1,
          "PidsLimit":0,"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":3},"Binds":["/a:/b:ro"],
          "PortBindings":{"80/tcp":[{"HostPort":"1"}],"81/tcp":null},"ConsoleSize":[0,0],"MaskedPaths":null},
          "NetworkingConfig":{"EndpointsConfig":{"n":{"Aliases":["a"],"IPAMConfig":{"IPv4Address":"10.0.0.2"}}}}})",
      "request");
  EXPECT_EQ(r.Image, "busybox");
  EXPECT_EQ(*r.Cmd, Strings{"true"});
  EXPECT_FALSE(r.Entrypoint);
  EXPECT_EQ(r.ExposedPorts->count("80/tcp"), 1U);
  EXPECT_EQ(r.HostConfig.Memory, 1048576);
  EXPECT_EQ(*r.HostConfig.MemorySwappiness, -1);
  EXPECT_EQ(r.HostConfig.RestartPolicy.MaximumRetryCount, 3);
  EXPECT_EQ(r.HostConfig.PortBindings.at("80/tcp")->at(0).HostPort, "1");
  EXPECT_FALSE(r.HostConfig.PortBindings.at("81/tcp"));
  EXPECT_EQ(r.NetworkingConfig.EndpointsConfig.at("n").IPAMConfig->IPv4Address, "10.0.0.2");
  EXPECT_THROW(parseJsonAs<ContainerCreateRequest>(R"({"HostConfig":{"Memory":"1g"}})", "request"), Error);
}

TEST(ContainerCreateRequest, IsWrittenWithTheConfigFlat) {
  ContainerCreateRequest r;
  r.Image = "busybox";
  r.HostConfig.AutoRemove = true;
  const auto value = toJson(r);
  EXPECT_EQ(value.at("Image").as_string(), "busybox");
  EXPECT_TRUE(value.at("HostConfig").at("AutoRemove").as_bool());
  EXPECT_TRUE(value.at("NetworkingConfig").at("EndpointsConfig").as_object().empty());
}

TEST(ContainerUpdateRequest, LeavesOutWhatIsUnchanged) {
  const auto r = parseJsonAs<ContainerUpdateRequest>(R"({"Memory":1,"RestartPolicy":{"Name":"always"}})", "update");
  EXPECT_EQ(r.Memory, 1);
  EXPECT_EQ(r.NanoCpus, 0);
  EXPECT_FALSE(r.PidsLimit);
  EXPECT_EQ(r.RestartPolicy.Name, "always");
  EXPECT_EQ(fromJson<ContainerUpdateRequest>(json::object()).RestartPolicy.Name, "");
}

TEST(Exec, KeepsEveryKeyAndNull) {
  expectSame<ExecInspect>(
      R"({"ID":"e","Running":true,"ExitCode":null,"ProcessConfig":{"tty":false,"entrypoint":"sh","arguments":["-c"],
          "privileged":false,"user":"1000"},"OpenStdin":false,"OpenStderr":true,"OpenStdout":true,"CanRemove":false,
          "ContainerID":"c","DetachKeys":"","Pid":7})");
  const auto c = parseJsonAs<ExecConfig>(R"({"AttachStdout":true,"Cmd":["ls"],"Env":null,"ConsoleSize":[1,2]})", "x");
  EXPECT_TRUE(c.AttachStdout);
  EXPECT_EQ(c.ConsoleSize->at(1), 2U);
}

TEST(SmallReplies, AreAsDockerWritesThem) {
  EXPECT_EQ(dumpJsonOf(WaitResponse{}), R"({"StatusCode":0})");
  EXPECT_EQ(dumpJsonOf(WaitResponse{.Error = WaitError{"x"}, .StatusCode = 1}),
            R"({"Error":{"Message":"x"},"StatusCode":1})");
  EXPECT_EQ(dumpJsonOf(ContainerCreateResponse{"i", {}}), R"({"Id":"i","Warnings":[]})");
  EXPECT_EQ(dumpJsonOf(ContainerUpdateResponse{}), R"({"Warnings":null})");
  EXPECT_EQ(dumpJsonOf(ContainersPruneReport{}), R"({"ContainersDeleted":null,"SpaceReclaimed":0})");
  EXPECT_EQ(dumpJsonOf(ChangeItem{1, "/a"}), R"({"Kind":1,"Path":"/a"})");
  EXPECT_EQ(dumpJsonOf(ErrorResponse{"no such container: x"}), R"({"message":"no such container: x"})");
  EXPECT_EQ(dumpJsonOf(ImageDeleteItem{.Untagged = "a:b"}), R"({"Untagged":"a:b"})");
}

TEST(ImageInspect, KeepsEveryKeyAndNull) {
  expectSame<ImageInspect>(
      R"({"Id":"sha256:aa","RepoTags":["busybox:latest"],"RepoDigests":["busybox@sha256:bb"],"Parent":"","Comment":"",
  "Created":"2024-09-26T21:31:42Z","DockerVersion":"","Author":"",
  "Config":{"User":"1000","ExposedPorts":{"80/tcp":{}},"Env":["PATH=/bin"],"Cmd":["sh"],"WorkingDir":"/",
    "Labels":{"a":"b"}},
  "Architecture":"amd64","Os":"linux","Size":4269678,
  "GraphDriver":{"Data":{"UpperDir":"/u"},"Name":"overlay2"},"RootFS":{"Type":"layers","Layers":["sha256:cc"]},
  "Metadata":{"LastTagTime":"0001-01-01T00:00:00Z"},
  "Descriptor":{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:dd","size":9,
    "platform":{"architecture":"amd64","os":"linux","os.version":"1"}}})");
}

TEST(ImageList, KeepsEveryKeyAndNull) {
  expectSame<std::vector<ImageSummary>>(
      R"([{"Containers":-1,"Created":1727386302,"Id":"sha256:aa","Labels":null,"ParentId":"","RepoDigests":[],
          "RepoTags":["busybox:latest"],"SharedSize":-1,"Size":4269678}])");
  expectSame<std::vector<HistoryItem>>(
      R"([{"Comment":"buildkit.dockerfile.v0","Created":1,"CreatedBy":"CMD [\"sh\"]","Id":"<missing>","Size":0,
          "Tags":null}])");
}

TEST(JsonMessage, KeepsEveryKey) {
  expectSame<JsonMessage>(R"({"status":"Pulling fs layer","progressDetail":{},"id":"9c0abc9c5bd3"})");
  expectSame<JsonMessage>(
      R"({"status":"Downloading","progressDetail":{"current":1,"total":2},"progress":"[=> ]","id":"9c"})");
  expectSame<JsonMessage>(R"({"errorDetail":{"code":1,"message":"x"},"error":"x"})");
  expectSame<JsonMessage>(R"({"aux":{"ID":"sha256:aa"}})");
  expectSame<JsonMessage>(R"({"stream":"Step 1/2 : FROM busybox\n"})");
}

TEST(Network, KeepsEveryKeyAndNull) {
  expectSame<Network>(
      R"({"Name":"bridge","Id":"n","Created":"2025-01-02T03:04:05Z","Scope":"local","Driver":"bridge",
  "EnableIPv4":true,"EnableIPv6":false,
  "IPAM":{"Driver":"default","Options":null,"Config":[{"Subnet":"172.17.0.0/16","Gateway":"172.17.0.1"}]},
  "Internal":false,"Attachable":false,"Ingress":false,"ConfigFrom":{"Network":""},"ConfigOnly":false,
  "Containers":{"c":{"Name":"x","EndpointID":"e","MacAddress":"m","IPv4Address":"172.17.0.2/16","IPv6Address":""}},
  "Options":{"com.docker.network.driver.mtu":"1500"},"Labels":{}})");
  const auto r = parseJsonAs<NetworkCreateRequest>(
      R"({"Name":"n","Driver":"bridge","IPAM":{"Driver":"default","Options":{},"Config":[]},"Internal":true,
          "Options":{},"Labels":{}})",
      "x");
  EXPECT_TRUE(r.Internal);
  EXPECT_FALSE(r.EnableIPv6);
  EXPECT_TRUE(r.IPAM);
}

TEST(Volume, KeepsEveryKeyAndNull) {
  expectSame<VolumeListResponse>(
      R"({"Volumes":[{"CreatedAt":"2025-01-02T03:04:05Z","Driver":"local","Labels":null,"Mountpoint":"/m",
          "Name":"v","Options":null,"Scope":"local"}],"Warnings":null})");
  expectSame<Volume>(
      R"({"CreatedAt":"t","Driver":"local","Labels":{},"Mountpoint":"/m","Name":"v","Options":{"o":"ro"},
          "Scope":"local","UsageData":{"RefCount":1,"Size":10}})");
}

TEST(System, KeepsEveryKeyAndNull) {
  expectSame<Version>(
      R"({"Platform":{"Name":"Docker Engine - Community"},
  "Components":[{"Name":"Engine","Version":"28.2.2","Details":{"ApiVersion":"1.50","Arch":"amd64"}}],
  "Version":"28.2.2","ApiVersion":"1.50","MinAPIVersion":"1.24","GitCommit":"45873be","GoVersion":"go1.24.3",
  "Os":"linux","Arch":"amd64","KernelVersion":"6.1.0","BuildTime":"2025-05-30T12:07:17.000000000+00:00"})");
  expectSame<EventMessage>(
      R"({"status":"start","id":"c","from":"busybox","Type":"container","Action":"start",
          "Actor":{"ID":"c","Attributes":{"image":"busybox","name":"x"}},"scope":"local","time":1,"timeNano":1000})");
  expectSame<DiskUsage>(R"({"LayersSize":1,"Images":[],"Containers":null,"Volumes":[],"BuildCache":null})");
  expectSame<AuthConfig>(R"({"username":"u","password":"p","serveraddress":"https://index.docker.io/v1/"})");
}

TEST(System, InfoKeepsEveryKeyAndNull) {
  expectSame<Info>(
      R"({"ID":"i","Containers":1,"ContainersRunning":1,"ContainersPaused":0,"ContainersStopped":0,"Images":2,
  "Driver":"overlay2","DriverStatus":[["Backing Filesystem","extfs"]],
  "Plugins":{"Volume":["local"],"Network":["bridge","host"],"Authorization":null,"Log":["json-file"]},
  "MemoryLimit":true,"SwapLimit":true,"CpuCfsPeriod":true,"CpuCfsQuota":true,"CPUShares":true,"CPUSet":true,
  "PidsLimit":true,"IPv4Forwarding":true,"Debug":false,"NFd":24,"OomKillDisable":false,"NGoroutines":44,
  "SystemTime":"2025-01-02T03:04:05Z","LoggingDriver":"json-file","CgroupDriver":"systemd","CgroupVersion":"2",
  "NEventsListener":0,"KernelVersion":"6.1.0","OperatingSystem":"Debian GNU/Linux 12","OSVersion":"12",
  "OSType":"linux","Architecture":"x86_64","IndexServerAddress":"https://index.docker.io/v1/",
  "RegistryConfig":{
    "InsecureRegistryCIDRs":["127.0.0.0/8"],
    "IndexConfigs":{"docker.io":{"Name":"docker.io","Mirrors":[],"Secure":true,"Official":true}},"Mirrors":null},
  "NCPU":2,"MemTotal":8000000000,"GenericResources":null,"DockerRootDir":"/var/lib/docker","HttpProxy":"",
  "HttpsProxy":"","NoProxy":"","Name":"host","Labels":[],"ExperimentalBuild":false,"ServerVersion":"28.2.2",
  "Runtimes":{"runc":{"path":"runc","status":{"org.opencontainers.runtime-spec.features":"{}"}}},
  "DefaultRuntime":"runc",
  "Swarm":{"NodeID":"","NodeAddr":"","LocalNodeState":"inactive","ControlAvailable":false,"Error":"",
    "RemoteManagers":null},
  "LiveRestoreEnabled":false,"Isolation":"","InitBinary":"docker-init","ContainerdCommit":{"ID":"a"},
  "RuncCommit":{"ID":"b"},"InitCommit":{"ID":"c"},"SecurityOptions":["name=seccomp,profile=builtin"],
  "FirewallBackend":{"Driver":"iptables"},"CDISpecDirs":["/etc/cdi"],
  "Containerd":{"Address":"/run/containerd.sock","Namespaces":{"Containers":"moby","Plugins":"plugins.moby"}},
  "Warnings":null})");
}

TEST(Stats, KeepsEveryKeyAndNull) {
  const std::string_view cpu =
      R"({"cpu_usage":{"total_usage":1,"usage_in_kernelmode":0,"usage_in_usermode":1},"system_cpu_usage":9,
          "online_cpus":2,"throttling_data":{"periods":0,"throttled_periods":0,"throttled_time":0}})";
  expectSame<Stats>(fmt::format(
      R"({{"name":"/x","id":"i","read":"2025-01-02T03:04:05Z","preread":"0001-01-01T00:00:00Z",
  "pids_stats":{{"current":1,"limit":18446744073709551615}},
  "blkio_stats":{{"io_service_bytes_recursive":[{{"major":254,"minor":0,"op":"read","value":4096}}],
    "io_serviced_recursive":null,"io_queue_recursive":null,"io_service_time_recursive":null,
    "io_wait_time_recursive":null,"io_merged_recursive":null,"io_time_recursive":null,"sectors_recursive":null}},
  "num_procs":0,"storage_stats":{{}},"cpu_stats":{0},"precpu_stats":{0},
  "memory_stats":{{"usage":417792,"stats":{{"anon":1,"file":0}},"limit":8000000000}},
  "networks":{{"eth0":{{"rx_bytes":1,"rx_packets":1,"rx_errors":0,"rx_dropped":0,"tx_bytes":0,"tx_packets":0,
    "tx_errors":0,"tx_dropped":0}}}}}})",
      cpu));
}

TEST(BuildCache, KeepsEveryKeyAndNull) {
  expectSame<BuildCache>(
      R"({"ID":"a","Parents":["b"],"Type":"regular","Description":"RUN true","InUse":false,"Shared":true,"Size":1,
          "CreatedAt":"2025-01-02T03:04:05Z","LastUsedAt":null,"UsageCount":1})");
}

}  // namespace
}  // namespace estiba::apitypes
